//go:build tools

package interop

import _ "google.golang.org/grpc/interop/client"
