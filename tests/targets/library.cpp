// What C++ programs use of their library: streams, directories, threads, children.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

namespace fs = std::filesystem;

int main() {
    std::cout << std::unitbuf;
    std::ofstream("one") << "first\n";
    std::ofstream("one", std::ios::app) << "second\n";
    std::fstream both("one", std::ios::in | std::ios::out);
    std::string line;
    std::getline(both, line);
    std::cout << line << ' ' << std::ifstream("nothere").good() << '\n';
    fs::create_directories("a/b");
    fs::copy_file("one", "a/b/two");
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) threads.emplace_back([i] { std::ofstream("a/" + std::to_string(i)) << i; });
    for (auto &thread : threads) thread.join();
    int files = 0;
    for (auto &entry : fs::recursive_directory_iterator(".")) files += entry.is_regular_file();
    std::cout << files << ' ' << std::system("cat one | wc -l") << ' ' << fs::remove_all("a") << '\n';
}
