// Only for the major version in the import paths: the packages are the distribution's, in GOPATH.
module icelane/example

go 1.19
