"""What the agent and its zygote say to each other: packets of one number.

The agent asks for a broker (`FORK`), or for the end of one (its PID). The zygote answers each
packet with one, in order: with the PID that was started, together with the agent's end of its
stream (SCM_RIGHTS), or that has ended; or with a negative error number.
"""

import struct
from typing import Final

NUMBER: Final = struct.Struct("=i")
FORK: Final = 0
