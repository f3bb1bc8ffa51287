"""The session table, finding, opening and going through sessions."""

import sys

from oscaxr.renamed import OnceAFunction
from oscaxr.submodules import on_demand

sys.modules[__name__].__class__ = OnceAFunction
__getattr__ = on_demand(__name__)
