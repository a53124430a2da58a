"""One file per format, each a value ``ADAPTER``; found by ``migrate.catalog``."""
