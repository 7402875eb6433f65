"""trustlib: measure, attack and defend trained models as ten papers on trustworthy ML describe it.

Nothing heavy happens on import: each paper lives in its own subpackage (``trustlib.pdp_op``, ...), and
the shared ground floor in ``data``, ``encoders``, ``privacy``, ``claims`` and ``plotting``.
"""

__version__ = "0.1.0"
