"""How bytes become variables: the only package that imports h5py to read."""
