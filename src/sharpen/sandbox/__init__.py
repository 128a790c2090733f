"""Runs code written by models, skills and programs in a process of its own, behind walls. Linux only.

What holds a program (`process.run_python`), each by the kernel and without any privilege:

- Files (Landlock): it reads Python's standard library, the system's shared libraries and its own temporary
  folder, and writes only in that folder. It cannot make links, devices, pipes or sockets in it.
- Acts (seccomp): no sockets, no child processes, no other program, no signals, no tracing, no shared memory,
  no change of the limits, priority, mode, owner or times of anything. As root it keeps no capability.
- Amounts (limits): seconds, memory, processor time, size of a file, open files; our side also bounds output,
  the size of its folder and the number of its threads, and kills it when they are passed.

What they do not hold: it can ask whether a path exists and how large it is (not what a folder holds); it
uses both time and cores up to its limits; a fault of the kernel itself is a way out, as from a container.
Code for which that is not enough belongs in a virtual machine. Where a wall is missing nothing is run.
"""
