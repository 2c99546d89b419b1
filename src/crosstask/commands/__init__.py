"""One module a command: `main(argv) -> exit code`."""
