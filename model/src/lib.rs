//! A model of Consul: its rules in virtual time, and a server that follows them in real time.
