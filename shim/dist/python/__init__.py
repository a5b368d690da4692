"""gilshim: repairs and explains conflicts over CPython's GIL at run time.

`gilshim COMMAND...` and `python -m gilshim [OPTIONS] [SCRIPT...]` start a program with the library preloaded. Importing this
package does nothing; it says where the library is, for those who set LD_PRELOAD themselves.
"""

import os

__version__ = "@VERSION@"

#: The path of libgilshim.so, for LD_PRELOAD.
library = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libgilshim.so")
