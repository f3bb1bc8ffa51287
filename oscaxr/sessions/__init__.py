"""The session table, finding, opening and going through sessions."""

import sys

from oscaxr.renamed import OnceAFunction

sys.modules[__name__].__class__ = OnceAFunction
