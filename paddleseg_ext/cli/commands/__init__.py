"""One module a command: its arguments and what it does; `cli.main` imports it when it is asked for."""
