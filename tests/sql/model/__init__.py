"""The schema once more, in plain Python, to compare with.

To read it as a specification: ``state`` says what there is, ``world`` the rules that several
operations share, ``messages``, ``membership``, ``private`` and ``ruling`` each operation (what
follows its ``yield``), ``sight`` what a user sees of it, ``replica`` what a client makes of sync.
``calls``, ``looking`` and ``machine`` do the same on the database and compare.
"""
