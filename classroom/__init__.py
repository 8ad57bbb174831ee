"""The exercises on their way: from one source to the book, to a class, and back to be graded.

Modules, each resting on those before it: `sources` (read and check a source), `release` (a class's
notebooks), `pages` (the Sphinx extension), `assignments` (``make assignments``), `restore` and
`collection` (read and find what was handed in), `sandbox` and `execution` (run one submission),
`grading` (``make grade``).
"""
