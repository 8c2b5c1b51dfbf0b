"""Somebody else's code in a process of its own: what is said to it, what it says, and the program that it runs in.

Nothing of it is imported into ours. The other end is `watchfloor_workflows.plugged`.
"""
