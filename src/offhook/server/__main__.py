"""`python -m offhook.server CHANNEL SUPERVISOR`: started by the supervisor only."""

import sys

from offhook.server.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
