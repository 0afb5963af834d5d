"""Other sides in a box, for our tests and for those of authors."""
