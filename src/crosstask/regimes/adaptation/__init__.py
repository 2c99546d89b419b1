"""From a labelled source domain to an unlabelled target domain."""
