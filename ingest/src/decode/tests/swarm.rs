//! A swarm of odd messages.
