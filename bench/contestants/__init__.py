"""Who takes part: each module offers `open(url)`, `close()` and one function a scenario, `name(n)`.

A function does its work n times and returns what it got: rows as tuples, dicts or objects; `bench.answers` reads them
after the clock has stopped. The functions of an asynchronous contestant are coroutine functions.
"""
