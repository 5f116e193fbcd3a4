//go:build tools

// Package tools names the programs that are built from their own modules, so that go.mod keeps them.
package tools

import _ "github.com/itchyny/gojq/cmd/gojq"
