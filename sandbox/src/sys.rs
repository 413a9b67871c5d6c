//! System calls: the sandbox's only unsafe code.
