// Gets a page as the owner of a credential cache, with gokrb5: fetch URL CERTIFICATE
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/spnego"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// gokrb5 asks again for as long as it is refused with a challenge.
type patience struct {
	transport http.RoundTripper
	left      int
}

func (p *patience) RoundTrip(request *http.Request) (*http.Response, error) {
	if p.left--; p.left < 0 {
		return nil, errors.New("it asks again without end")
	}
	return p.transport.RoundTrip(request)
}

func main() {
	pem, err := os.ReadFile(os.Args[2])
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	plain := &http.Client{Transport: &patience{transport, 20}}

	var answer *http.Response
	if os.Getenv("WITHOUT") != "" {
		answer, err = plain.Get(os.Args[1])
	} else {
		var settings *config.Config
		settings, err = config.Load(os.Getenv("KRB5_CONFIG"))
		must(err)
		var cache *credentials.CCache
		cache, err = credentials.LoadCCache(strings.TrimPrefix(os.Getenv("KRB5CCNAME"), "FILE:"))
		must(err)
		var user *client.Client
		user, err = client.NewFromCCache(cache, settings, client.DisablePAFXFAST(true))
		must(err)
		answer, err = spnego.NewClient(user, plain, "HTTP/localhost").Get(os.Args[1])
	}
	must(err)
	body, err := io.ReadAll(answer.Body)
	must(err)
	fmt.Println(answer.StatusCode, string(body))
}
