"""Attacks on what Sharpen relies on: its sandbox, its verifiers, its judges; and on those of users.

Nothing here is used by a run. Every attack is judged from outside: a sandbox by what happened to things that
it must not touch, a verifier or judge by the reward that a cheat got beside that of an honest failing answer.
"""
