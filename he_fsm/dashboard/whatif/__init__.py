"""
The what-if page: faults on a timeline, sliders, and who would run the engine.

Everything on the page is one scenario file, shown in another way. The page sends the file with its
edits (`edits`: they change one value of the text each), and is answered with the new file, with the
scenario as plain values (`model`) and with what the simulator says of it (`answer`, `picture`). So
the page knows nothing of the language, and its numbers are those of the command for the same file.
`asking` is all of that as one pure function; `processes` calls it where it holds nobody up, and
`part` is what browsers ask.
"""
