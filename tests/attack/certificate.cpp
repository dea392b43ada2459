#include "certificate.h"

#include <cstdio>
#include <memory>
#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace wschat::attack {

namespace {

constexpr long kDay = 86'400;

struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
    void operator()(FILE* file) const { std::fclose(file); }
};

using File = std::unique_ptr<FILE, Free>;

File create(const std::string& path) {
    File file(std::fopen(path.c_str(), "w"));
    if (!file) throw std::runtime_error("cannot write " + path);
    return file;
}

}  // namespace

Certificate::Certificate() {
    const std::unique_ptr<EVP_PKEY, Free> key(EVP_EC_gen("P-256"));
    const std::unique_ptr<X509, Free> certificate(X509_new());
    X509* const x509 = certificate.get();
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), kDay);
    X509_set_pubkey(x509, key.get());
    X509_sign(x509, key.get(), EVP_sha256());
    PEM_write_X509(create(scratch_ / "cert").get(), x509);
    PEM_write_PrivateKey(create(scratch_ / "key").get(), key.get(), nullptr,
                         nullptr, 0, nullptr, nullptr);
}

std::vector<std::string> Certificate::options() const {
    return {"--tls-cert=" + (scratch_ / "cert"),
            "--tls-key=" + (scratch_ / "key")};
}

}  // namespace wschat::attack
