// icelane.go alone is the library. The example in pion/ is built with the distribution's packages,
// in GOPATH: see the Makefile.
module icelane/fronting

go 1.19
