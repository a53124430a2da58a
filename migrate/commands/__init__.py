"""What is typed to move passwords: migrate, convert, export, inspect, verify, formats, undo, runs."""
