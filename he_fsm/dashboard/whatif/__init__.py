"""The what-if page: faults on a timeline, sliders, and who would run the engine."""
