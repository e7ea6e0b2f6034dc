// Pause does nothing until it is told to end: it holds the namespaces of a Pod.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	os.Stdout.WriteString("waiting to be told to end\n")
	<-end
}
