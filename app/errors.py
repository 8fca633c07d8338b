"""Failures that somebody at the command line can mend. `main` shows the message, no traceback.

CommandError
├── SettingsError       app/settings.py: a setting is wrong or missing
├── PortInUseError      app/server.py: another program listens there
└── DemoError           app/commands/portal/demo_command.py: what the demo needs is not there
"""


class CommandError(Exception):
    """The message says what is wrong and what to do."""
