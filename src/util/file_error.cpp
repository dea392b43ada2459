#include "util/file_error.h"

#include <stdexcept>

namespace wschat {

void throw_file_error(const std::string& file, const std::string& reason) {
    throw std::runtime_error("cannot use " + file + ": " + reason);
}

}  // namespace wschat
