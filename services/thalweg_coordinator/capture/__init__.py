"""The capture of one deployment's log, in a process of its own: what it costs, the coordinator and the vertices do not notice."""
