//! Takes jobs from the queue and runs each in a process of its own.
