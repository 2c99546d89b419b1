"""The web page of `crosstask serve`."""
