"""Who uses the command line, for the records."""

import os
import pwd


def command_line_actor() -> str:
    """Returns the user id of this process and its name in the user database.

    The environment is not asked: whoever calls the command chooses what `LOGNAME` and `USER` say.
    """
    uid = os.getuid()
    try:
        return f"command line (uid {uid}, {pwd.getpwuid(uid).pw_name})"
    except KeyError:
        # A container often runs as a user without a name.
        return f"command line (uid {uid})"
