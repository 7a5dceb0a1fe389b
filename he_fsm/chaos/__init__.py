"""Random faults on real daemons, for minutes or hours: what strikes, and what it showed."""
