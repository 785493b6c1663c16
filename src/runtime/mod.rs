//! Steps the core and performs its actions; decides nothing.
