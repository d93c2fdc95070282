//! Looks at policies, jobs and the clock, and makes the jobs that are missing.
