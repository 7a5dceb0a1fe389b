"""The files of an oVirt host: their values in our configuration, and what means nothing here."""
