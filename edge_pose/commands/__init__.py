"""One file per subcommand of `edge-pose`, loaded only when it is the one asked for."""
