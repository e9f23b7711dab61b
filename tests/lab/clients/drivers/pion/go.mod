// Only for the major version in the import paths: the packages are the distribution's, in GOPATH.
module icelane/pion

go 1.19
