"""Runs the service's process. Windows starts it: `pythonw.exe -I -S __main__.py PACKAGES NAME CONFIGURATION STATE`.

PACKAGES is the site-packages folder, STATE that of journal and log. The interpreter of a virtual environment is not
used: on Windows it is a launcher that starts the real one as a child, and Windows expects the service in the process
that it started (event 7039).
"""

import site
import sys

if __name__ == "__main__":
    site.addsitedir(sys.argv[1])
    sys.argv[:2] = ["publisher", "service", "process"]

    from publisher.cli.app import main

    main()
