"""Commands about what hosts have decided: to list it, to hand it on, and to decide it anew."""
