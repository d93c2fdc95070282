//! What the server knows beyond the repositories: apps, policies, jobs, people. SQL lives only here.
