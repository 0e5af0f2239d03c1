"""What goes wrong on a line, done on purpose to real processes: what was lost, how soon it ended.

    python -m benchmarks.faults [--only NAME …] [--quick] [--json FILE]

In: nothing but the machine (mosquitto, GStreamer's RTSP server, g++).  Out: a table with a
row for each fault: how often it was done, how long until poses came again, how many promised
messages were lost or came twice.  The exit code is 1 when one was lost or recovery took too long.
"""
