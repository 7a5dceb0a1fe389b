"""Where the clusters that are shown are read: a broker, a whiteboard, or a simulation."""
