"""A labelled source domain: people with known joints, posed, dressed and rendered by seed."""
