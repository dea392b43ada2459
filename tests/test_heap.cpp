// The program's operators new and delete, which count. Valgrind leaves them in
// place with --soname-synonyms=somalloc=nouserintercepts.
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include <doctest/doctest.h>
#include <malloc.h>

#include "heap.h"

using wschat::test::allocations;
using wschat::test::heap_in_use;

namespace {

size_t in_use = 0;
size_t taken = 0;

void* take(size_t size) {
    void* memory = std::malloc(size ? size : 1);
    if (memory) in_use += malloc_usable_size(memory);
    ++taken;
    return memory;
}

void* take_or_throw(size_t size) {
    if (void* memory = take(size)) return memory;
    throw std::bad_alloc();
}

void give_back(void* memory) {
    if (memory) in_use -= malloc_usable_size(memory);
    std::free(memory);
}

}  // namespace

size_t wschat::test::heap_in_use() {
    return in_use;
}
size_t wschat::test::allocations() {
    return taken;
}

void* operator new(size_t size) {
    return take_or_throw(size);
}
void* operator new[](size_t size) {
    return take_or_throw(size);
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
    return take(size);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
    return take(size);
}
void operator delete(void* memory) noexcept {
    give_back(memory);
}
void operator delete[](void* memory) noexcept {
    give_back(memory);
}
void operator delete(void* memory, size_t) noexcept {
    give_back(memory);
}
void operator delete[](void* memory, size_t) noexcept {
    give_back(memory);
}

TEST_CASE("memory is counted from new to delete") {
    const size_t before = heap_in_use();
    auto buffer = std::make_unique<char[]>(1000);
    const size_t with_buffer = heap_in_use();
    std::string text(5000, 'x');
    const size_t with_both = heap_in_use();
    buffer.reset();
    std::string().swap(text);
    const size_t after = heap_in_use();

    CHECK(with_buffer >= before + 1000);
    CHECK(with_both >= with_buffer + 5000);
    CHECK(after == before);
}

TEST_CASE("each allocation is counted, whatever becomes of it") {
    const size_t before = allocations();
    auto buffer = std::make_unique<char[]>(1000);
    buffer.reset();
    const size_t with_buffer = allocations();
    std::string text(5000, 'x');
    const size_t with_both = allocations();

    CHECK(with_buffer == before + 1);
    CHECK(with_both == before + 2);
}
