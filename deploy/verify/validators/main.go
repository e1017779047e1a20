// Command validators reads rendered manifests (YAML, several documents in a file) and reports what a Kubernetes API server would reject:
// unknown and duplicate fields, what its own validators find after defaulting, and what the Pod Security Standard "restricted" forbids.
// A fault is a line "file: kind/name: fault" on stdout; the last line has the counts. Exit code 1 if there is a fault.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

func main() {
	objects, faults := 0, 0
	for _, path := range os.Args[1:] {
		documents, err := split(path)
		if err != nil {
			fmt.Printf("%s: %v\n", path, err)
			os.Exit(2)
		}
		for _, document := range documents {
			objects++
			name, found := check(document)
			for _, fault := range found {
				faults++
				fmt.Printf("%s: %s: %v\n", path, name, fault)
			}
		}
	}
	fmt.Printf("%d objects, %d faults\n", objects, faults)
	if faults > 0 || objects == 0 {
		os.Exit(1)
	}
}

// split returns the documents of a file that are not empty.
func split(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(file))
	var documents [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		// Skip documents that hold only comments.
		var value any
		if yaml.Unmarshal(document, &value) == nil && value == nil {
			continue
		}
		if len(bytes.TrimSpace(document)) > 0 {
			documents = append(documents, document)
		}
	}
}
