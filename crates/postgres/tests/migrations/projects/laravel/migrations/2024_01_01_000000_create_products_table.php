<?php

use Illuminate\Database\Capsule\Manager as Database;
use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;

return new class extends Migration {
    public function up()
    {
        Database::schema()->create('products', function (Blueprint $table) {
            $table->id();
        });
    }

    public function down()
    {
        Database::schema()->drop('products');
    }
};
