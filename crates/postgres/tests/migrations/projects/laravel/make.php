<?php

// Migrates a database by Laravel's migrator in two batches, all but the last migration.
require_once '/usr/share/php/Illuminate/Database/autoload.php';
require_once '/usr/share/php/Illuminate/Filesystem/autoload.php';

use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Migrations\DatabaseMigrationRepository;
use Illuminate\Database\Migrations\Migrator;
use Illuminate\Filesystem\Filesystem;

$url = parse_url(getenv('DATABASE_URL'));
$database = new Manager();
$database->addConnection([
    'driver' => 'pgsql',
    'host' => $url['host'],
    'port' => $url['port'],
    'username' => $url['user'],
    'password' => $url['pass'] ?? '',
    'database' => ltrim($url['path'], '/'),
    'schema' => 'public',
]);
$database->setAsGlobal();
$repository = new DatabaseMigrationRepository($database->getDatabaseManager(), 'migrations');
$repository->createRepository();
$migrator = new Migrator($repository, $database->getDatabaseManager(), new Filesystem());
foreach (['2024_01_01', '2024_01_02'] as $day) {
    $migrator->requireFiles($files = glob(__DIR__ . "/migrations/{$day}_*.php"));
    $migrator->runPending($files);
}
